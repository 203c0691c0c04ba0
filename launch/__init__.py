"""Templates of jobs, as package data."""
