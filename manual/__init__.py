"""The pages of the site that follow from the code: commands, declarations, measures, variables, tables of the index.

They are written when the site is built (`hook.py`), so none of them can fall behind, and none is committed. What a
program cannot know, the meaning of a declared field, is in `fields.yaml`; a test holds it to the declarations.
"""
