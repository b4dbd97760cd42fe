"""One module per backend; importing one reads no setting and connects nowhere."""
