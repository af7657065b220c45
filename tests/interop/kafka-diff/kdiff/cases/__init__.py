"""The requests. One module an area; each suite gets the Differ and may not rely on what another one left."""
from . import admin, configs, fetch, frames, groups, metadata, offsets, produce

SUITES = [(m.__name__.rsplit(".", 1)[1], m.run)
          for m in (frames, metadata, admin, configs, produce, fetch, offsets, groups)]
