"""One module per backend; importing one needs neither its SDK nor any setting."""
