"""Neural Turing Machines on copying and associative recall."""
