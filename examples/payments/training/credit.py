"""Trains the model of credit: how likely is it that a loan is lost?

Who decides about loans must be able to say why: the answer may not fall where somebody wants more of their income or has paid late more often, nor rise where
they earn more. The trees are held to that.
"""

from boosting import train

if __name__ == "__main__":
    train(
        "credit",
        label="defaulted",
        numbers=[
            "amount", "income", "amount_to_income", "spending_to_income", "age", "member_days", "is_verified",
            "repaid_90d", "late_90d", "repaid_sum_90d", "user_count_30d", "user_mean_30d",
        ],
        rising=["amount_to_income", "late_90d"],
        falling=["income", "is_verified"],
        rounds=60,
        leaves=6,
        smallest=30,
    )
