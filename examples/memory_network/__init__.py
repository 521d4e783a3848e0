"""Memory networks on stories of people who move and carry things; the question is a location."""
