"""Where things are kept: objects, manifests, the chain of nights and the champion."""
