"""The data of language-model experiments: what goes in, under which condition, and what must never go in (spec 02, 2.4)."""
