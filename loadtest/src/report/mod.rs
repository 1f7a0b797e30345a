//! What people and programs read: JSON lines, tables of runs and of their medians, a page with plots.

mod groups;
mod html;
mod line;
mod plots;
mod table;

pub use groups::base_name;
pub use html::html;
pub use line::{append, line, read};
pub use table::{head, notes, row, summary, table};
