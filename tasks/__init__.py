"""Files here are Prefect tasks, the verbs of the loop; folders are plain Python that does not import Prefect."""
