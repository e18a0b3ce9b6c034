"""The prediction log: a sample of answers, written aside."""
