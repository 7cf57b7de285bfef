"""Video files and photos: read, stylized and written."""
