"""Published models: name, version, alias; signature; artifacts and who signed them; the one loader."""
