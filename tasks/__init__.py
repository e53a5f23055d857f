"""Files here are Prefect tasks, the verbs of the loop; folders are plain Python that has never heard of Prefect."""
