// A room without sources yet still needs an object.
