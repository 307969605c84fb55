-- publications
append_all(8)
