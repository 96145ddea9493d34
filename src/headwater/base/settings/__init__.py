"""Every setting: the table of them, how they are read, and the page that shows them."""
