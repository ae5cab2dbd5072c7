"""Budget: nothing is sent that a budget has no room for, and everything that was sent is on the books.

`budget.py` is the policy; `hold.py` knows what a call may cost, `books.py` what an attempt did cost.
"""
