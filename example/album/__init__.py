"""The album: a form to add pictures, and a page that shows them."""
