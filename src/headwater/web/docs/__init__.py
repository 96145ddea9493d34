"""The description of the API: OpenAPI, the error catalogue, and their pages."""
