"""A memory network reads stories of people who move and carry things, and says where they are."""
