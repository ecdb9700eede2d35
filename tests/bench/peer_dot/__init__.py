"""The peer: a project as `startproject` makes it, with django-oauth-toolkit as its manual says."""
