//! The transport and the queues, with the entropy device behind them.

mod chains;
mod negotiation;
