"""What people build on the gate. Each app is a router that any FastAPI application can serve: ours, or a user's."""
