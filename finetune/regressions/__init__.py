"""What tuning may have cost: general ability, refusals, published figures beside ours."""
