"""Healthy means: the application answers and reaches its database."""
import urllib.request

urllib.request.urlopen("http://127.0.0.1:8000/", timeout=2).read()
