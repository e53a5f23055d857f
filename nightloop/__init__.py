"""nightloop keeps a recommender fresh: collect, validate, retrain, compare and deploy, every night.

The packages of the project are the four folders `flows`, `tasks`, `sql` and `infra` of the repository; here they have one
import name, `nightloop.flows` and so on, so that no module of another project can stand in their way.
"""
