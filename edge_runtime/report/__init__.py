"""What a record says: figures, verdict, report."""
