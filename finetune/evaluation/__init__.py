"""From predictions to a verdict: who is compared, what was answered, what it shows, what may be concluded."""
