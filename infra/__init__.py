"""What a deployment needs: plans, constraints, prefect.yaml."""
