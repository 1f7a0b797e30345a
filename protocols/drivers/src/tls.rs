//! TLS by rustls: certificates that can be reloaded, and a connection as a buffer loop.
//!
//! A connection is plain data (`Send`), so it moves between cores with its session. Handshake bytes and sealed bytes pass
//! through one output buffer, bounded by what one call seals.

use engine::Sealed;
use rustls::ServerConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Most plain bytes sealed before the socket must have taken the last.
const SEAL_BYTES: usize = 64 * 1024;

type Stamps = [Option<SystemTime>; 2];

struct Loaded {
    config: Arc<rustls::ServerConfig>,
    stamps: Stamps,
}

/// A certificate with its key, as files. Only new connections look at it, so its lock is never on the way of media.
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    loaded: Mutex<Loaded>,
}

impl Certificates {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, String> {
        let stamps = stamps(cert, key);
        let config = read(cert, key)?;
        Ok(Self { cert: cert.into(), key: key.into(), loaded: Mutex::new(Loaded { config, stamps }) })
    }

    /// Reads the files again if one has changed; connections that exist keep what they have.
    /// If the new files are no good, the old content stays in force.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it.
    pub fn reload(&self) -> Result<bool, String> {
        let now = stamps(&self.cert, &self.key);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamps == now {
            return Ok(false);
        }
        let config = read(&self.cert, &self.key)?;
        *loaded = Loaded { config, stamps: now };
        Ok(true)
    }

    pub(crate) fn accept(&self) -> Result<Box<Tls>, String> {
        let config = Arc::clone(&self.loaded.lock().unwrap_or_else(PoisonError::into_inner).config);
        let mut tls = ServerConnection::new(config).map_err(|error| error.to_string())?;
        tls.set_buffer_limit(Some(SEAL_BYTES));
        Ok(Box::new(Tls { tls, out: Vec::new(), sent: 0, eof: false }))
    }
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

fn read(cert: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| format!("certificate {}: {error}", cert.display()))?;
    if chain.is_empty() {
        return Err(format!("certificate {}: no certificate in it", cert.display()));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("key {}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| format!("certificate {} and key {}: {error}", cert.display(), key.display()))?;
    Ok(Arc::new(config))
}

/// One connection's TLS.
pub(crate) struct Tls {
    tls: ServerConnection,
    out: Vec<u8>,
    sent: usize,
    eof: bool,
}

impl Tls {
    /// Takes sealed bytes; what they open is appended to `plain`.
    pub fn open(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        while !sealed.is_empty() {
            self.tls.read_tls(&mut sealed)?;
            let state = self.tls.process_new_packets();
            self.collect()?; // An alert, if that failed.
            let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let had = plain.len();
            plain.resize(had.saturating_add(state.plaintext_bytes_to_read()), 0);
            if let Some(room) = plain.get_mut(had..) {
                self.tls.reader().read_exact(room)?;
            }
            if state.peer_has_closed() {
                self.eof = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Seals as much as the bound allows; returns how much.
    pub fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
        let n = self.tls.writer().write(plain)?;
        self.collect()?;
        Ok(n)
    }

    /// Says that nothing more will be sealed.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
        // Into a vector: cannot fail.
        let _ = self.collect();
    }

    /// Sealed bytes that wait to be sent.
    pub fn pending(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// The socket took some of [`Self::pending`].
    pub fn sent(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n);
        if self.sent >= self.out.len() {
            self.out = Vec::new();
            self.sent = 0;
        }
    }

    /// The peer has said that it sends no more.
    pub const fn is_eof(&self) -> bool {
        self.eof
    }

    fn collect(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.out)?;
        }
        Ok(())
    }
}

/// A viewer's connection inside TLS, as the engine drives it.
pub(crate) struct TlsTransport {
    pub fd: OwnedFd,
    pub tls: Box<Tls>,
    /// Opened bytes that have not been asked for yet; bounded by what one receive opens.
    pub plain: Vec<u8>,
}

impl Sealed for TlsTransport {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn send(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        for buf in bufs {
            let mut rest: &[u8] = buf;
            while !rest.is_empty() {
                let n = self.tls.seal(rest)?;
                taken += n;
                rest = rest.get(n..).unwrap_or_default();
                // Stops at a full socket alone: after a short count the engine waits for the next writable edge, and
                // a socket with room gives none.
                if !self.flush()? {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.plain.is_empty() {
            if self.tls.is_eof() {
                return Ok(0);
            }
            let n = rt::recv_now(self.fd.as_fd(), buf)?;
            if n == 0 {
                return Ok(0);
            }
            self.tls.open(buf.get(..n).unwrap_or_default(), &mut self.plain)?;
            self.flush()?;
        }
        let n = self.plain.len().min(buf.len());
        let rest = self.plain.split_off(n);
        if let Some(room) = buf.get_mut(..n) {
            room.copy_from_slice(&self.plain);
        }
        self.plain = rest;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<bool> {
        while !self.tls.pending().is_empty() {
            match rt::send_gather(self.fd.as_fd(), &[IoSlice::new(self.tls.pending())]) {
                Ok(n) => self.tls.sent(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn finish(&mut self) {
        self.tls.close();
        // One try: the connection ends either way.
        let _ = self.flush();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    /// The engine waits for the socket's next writable edge after a short count; none comes while there is room.
    #[test]
    fn takes_less_than_offered_only_when_the_socket_is_full() {
        let folder = std::env::temp_dir().join(format!("drivers-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (cert, key) = (folder.join("c.crt"), folder.join("c.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let tls = Certificates::load(&cert, &key).unwrap().accept().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &listener.local_addr().unwrap().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut transport = TlsTransport { fd: near.into(), tls, plain: Vec::new() };
        while transport.tls.tls.is_handshaking() {
            match transport.recv(&mut [0; 16 * 1024]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => panic!("{other:?}"),
            }
        }
        // Nobody reads until the socket is full: a unit that is longer than one seal must go out whole.
        let picture = vec![7; 5 * SEAL_BYTES / 2];
        let (mut taken, mut offered) = (0, 0);
        loop {
            match transport.send(&[IoSlice::new(&picture), IoSlice::new(b"next")]) {
                Ok(n) => {
                    taken += n;
                    offered += picture.len() + 4;
                    assert!(
                        n == picture.len() + 4 || !transport.flush().unwrap(),
                        "{n} bytes, and room left"
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
            if taken < offered {
                break;
            }
        }
        assert!(taken > picture.len());
        let _ = (peer.kill(), peer.wait(), std::fs::remove_dir_all(&folder));
    }
}
