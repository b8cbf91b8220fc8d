"""The words of the domain, each defined once: services, SDK and CLI import them from here."""
