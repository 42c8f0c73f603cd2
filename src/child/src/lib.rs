//! What runs between clone and exec, and the tiny PID 1 of a pod: no allocation, no locks.
#![no_std]

pub mod pid1;
