mod stepwise;
mod watching;
