"""What may correct a prediction at serving time, between two nights."""
