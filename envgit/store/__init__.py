"""Git objects, refs and the operation log; knows no filesystem trees."""
