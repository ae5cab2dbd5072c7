"""The words of the house: what a call, a reply, an attempt, an error and a figure of money are.

Pure: nothing here does IO, reads a clock or draws a random number. Everything else imports from here, and
nothing here imports from elsewhere in the house.
"""
