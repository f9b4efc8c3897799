"""Pure tensor functions: no classes of the package, no state, no checks of user input."""
