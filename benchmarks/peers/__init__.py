"""The systems beside us, each as its documentation builds it, on the same texts and vectors as ours."""
