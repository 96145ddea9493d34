"""The API's description: OpenAPI, the error catalogue and the pages that show them."""
