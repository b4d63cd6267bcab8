"""The only place that knows Milvus."""

import os

# gRPC reads this when imported. Its handling of forks kills forked children now and then: with grpcio 1.85
# on a busy machine, 6 of 125 ended by SIGSEGV, wherever they were; without it, none of 250.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
