"""What will go wrong, said before it does: findings with the measured numbers and a recipe that mends them."""
