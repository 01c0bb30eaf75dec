"""Sessions as the relay knows them: rows, states and who is told; never their contents."""
