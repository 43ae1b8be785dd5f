"""What leaves a slide's record for other programs: tables, JSON, FHIR, and cells to train on again."""
