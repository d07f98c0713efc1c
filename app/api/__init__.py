"""HTTP: arguments, identity, one service call, an answer or a refusal. Imports `domain` and `services`, no driver."""
