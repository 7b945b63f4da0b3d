"""The bench suite's own parts: servers, scenarios, measuring, reports."""
