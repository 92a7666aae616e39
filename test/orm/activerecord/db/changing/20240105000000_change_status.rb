# The type of the column whose transitions are events.
class ChangeStatus < ActiveRecord::Migration[6.1]
  def up
    change_column :appointments, :status, :string, limit: 20
  end

  def down
    change_column :appointments, :status, :text
  end
end
