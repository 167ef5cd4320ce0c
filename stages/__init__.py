"""The pipeline's stages, each a module to run: python -m stages.<name>."""

import gc

# torch and transformers make a million objects that stay. Looking through them again and again for rubbish takes a
# seventh of their import; models.prepare() sets what is there aside and goes back to Python's usual pace.
USUAL_PACE = gc.get_threshold()
gc.set_threshold(100_000, 50, 100)
