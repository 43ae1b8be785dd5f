"""The decision: what the network says and the picture shows of a cell, held against the table of tests."""
