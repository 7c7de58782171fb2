//! Answers: what a reader sees of live spans and blocks.
