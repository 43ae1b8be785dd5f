"""Reading a slide: looks become fields, and each cell is judged once and recorded."""
