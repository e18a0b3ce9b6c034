"""The HTTP face: translate a request, call one thing below, translate back."""
