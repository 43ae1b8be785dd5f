"""One slide: its record, the reading that fills it and the report that shows it."""
